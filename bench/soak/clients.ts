/** Clients of every temper, in a process of their own: they wait for their answer, leave early, or leave in the middle of a body. */
import { connect, type Socket } from 'node:net'

const CONNECTIONS = 12
const PAUSE = 15

process.on('message', (port: number) => {
  for (let index = 0; index < CONNECTIONS; index++) visit(port)
})

function visit(port: number): void {
  const socket = connect(port, '127.0.0.1')
  const temper = Math.random()
  socket.on('error', () => {})
  socket.on('close', () => setTimeout(() => visit(port), PAUSE))
  socket.on('connect', () => {
    if (temper < 0.1) return leaveAt(socket, 0)
    const path = ['/jobs', '/stream', '/fail', '/late'][Math.floor(Math.random() * 4)]
    socket.write(`GET ${path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n`)
    if (temper < 0.2) leaveAt(socket, 1)
    else if (temper < 0.3) socket.once('data', () => socket.resetAndDestroy())
  })
  socket.resume()
}

function leaveAt(socket: Socket, milliseconds: number): void {
  setTimeout(() => socket.destroy(), milliseconds)
}
