import * as vega from 'vega'
import { compile } from 'vega-lite'

/** Lines over time, with the quota's own as a dashed one, as SVG. @param points - `{ way, time, served }` */
export async function toSvg({ title, points, quota }) {
  const { spec } = compile({
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title,
    width: 640,
    height: 320,
    background: 'white',
    layer: [
      {
        data: { values: points },
        mark: { type: 'line', strokeWidth: 2 },
        encoding: {
          x: { field: 'time', type: 'quantitative', title: 'seconds' },
          y: { field: 'served', type: 'quantitative', title: 'requests served' },
          color: { field: 'way', type: 'nominal', title: null },
        },
      },
      {
        data: { values: quota },
        mark: { type: 'line', strokeDash: [5, 4], color: 'black' },
        encoding: {
          x: { field: 'time', type: 'quantitative' },
          y: { field: 'served', type: 'quantitative' },
        },
      },
    ],
  })
  const view = new vega.View(vega.parse(spec), { renderer: 'none' })
  return view.toSVG()
}
