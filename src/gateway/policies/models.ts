import { modelNamed } from '../../pool/partition.js'
import { visit } from '../config/jsonc.js'

/** The field of a form in which a model is named. */
const IN_FORM = /name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,200})\r\n/g

/**
 * All models that a request names: by the member `model` of its JSON (each, where it stands there twice: parsers differ in
 * which they take), by the field of a form, by its path and its query. Whoever allows models must allow them all.
 */
export function modelsNamed(text: string | undefined, type: string | undefined, path: string, search = ''): string[] {
  const models = new Set<string>(new URLSearchParams(search).getAll('model'))
  const inPath = modelNamed(undefined, path)
  if (inPath !== '') models.add(inPath)
  if (text === undefined) return [...models]
  if (type !== undefined && /multipart\/form-data/i.test(type)) {
    for (const [, model] of text.matchAll(IN_FORM)) models.add(model!)
    return [...models]
  }
  let isModel = false
  visit(text, {
    onObjectProperty: (name, _offset, _length, _line, _column, pathOf) => {
      isModel = name === 'model' && pathOf().length === 0
    },
    onLiteralValue: value => {
      if (isModel) models.add(String(value))
      isModel = false
    },
    onObjectBegin: () => {
      isModel = false
    },
  })
  return [...models]
}
