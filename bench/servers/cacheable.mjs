import { createServer } from 'node:http'

const body = JSON.stringify({ text: 'x'.repeat(2_000) })
const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=600', etag: '"1"' })
  response.end(body)
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.on('disconnect', () => process.exit(0))
