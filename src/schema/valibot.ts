/** The validator, taken in at one place. */
export * as v from 'valibot'
