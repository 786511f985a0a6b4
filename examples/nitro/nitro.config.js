// Nitro 3.0.0 reads srcDir, later ones serverDir.
export default { srcDir: 'server', serverDir: './server', preset: 'node-server' }
