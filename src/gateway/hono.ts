/** The router, taken in at one place. */
export { Hono } from 'hono'
