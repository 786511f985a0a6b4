/** Makes pictures smaller by averaging: every pixel of the result is the mean of the area that it covers in the original. */

/** A picture as rows of red, green, blue and alpha. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array
}

/** The picture at a width, its proportions kept. It is never enlarged. */
export function shrink(picture: Picture, width: number): Picture & { data: Uint8ClampedArray } {
  const scale = Math.min(1, width / picture.width)
  const target = { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) }
  // A very long or very flat picture still keeps one pixel across.
  const narrow = squeezeAndTurn(picture, Math.max(1, target.width))
  const small = squeezeAndTurn(narrow, Math.max(1, target.height))
  // A clamped array rounds what is put into it.
  return { ...small, data: new Uint8ClampedArray(small.data) }
}

/**
 * Squeezes every row to a number of pixels, and swaps rows and columns. Done twice, it has squeezed the columns as well,
 * and everything is the right way round again.
 */
function squeezeAndTurn({ width, height, data }: Picture, pixels: number): Picture {
  const step = width / pixels
  const out = new Float32Array(pixels * height * 4)
  for (let row = 0; row < height; row++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const start = pixel * step
      // Rounding must not reach into the next row.
      const end = Math.min(start + step, width)
      let red = 0
      let green = 0
      let blue = 0
      let alpha = 0
      for (let at = Math.floor(start); at < end; at++) {
        // The pixels at both ends count by how much of them is covered.
        const share = (Math.min(at + 1, end) - Math.max(at, start)) / step
        const from = (row * width + at) * 4
        red += share * (data[from] ?? 0)
        green += share * (data[from + 1] ?? 0)
        blue += share * (data[from + 2] ?? 0)
        alpha += share * (data[from + 3] ?? 0)
      }
      const to = (pixel * height + row) * 4
      out[to] = red
      out[to + 1] = green
      out[to + 2] = blue
      out[to + 3] = alpha
    }
  }
  return { width: height, height: pixels, data: out }
}
