/**
 * Errors across the thread boundary, whole. The text of an error is plain data, so that whoever keeps errors can show and
 * search them; what it says besides (cause, errors, code, own properties) is encoded as any value.
 */
import { NonErrorThrownError } from '../words/errors.ts'
import { decodeError, encodeError } from './codec.ts'
import { isError, makeError, partsOf } from './error-parts.ts'

/** An error as data. */
export interface WireError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /** All that it is besides; absent for an error that is nothing more. */
  readonly more?: Uint8Array
}

/** Turns whatever was thrown into data. Never throws: what cannot be read or cannot travel is left out. */
export function toWireError(thrown: unknown): WireError {
  const error = isError(thrown) ? thrown : new NonErrorThrownError(thrown)
  const { text, isDomException, shown, hidden } = partsOf(error)
  if (shown.size === 0 && hidden.size === 0 && !isDomException) return text
  try {
    return { ...text, more: encodeError(error) }
  } catch {
    return text
  }
}

/** Makes the error again: a built-in class where the name says so, with its own name, stack, code and cause. Never throws. */
export function fromWireError(wire: WireError): Error {
  if (wire.more !== undefined) {
    try {
      return decodeError(wire.more, wire)
    } catch {
      // What it said besides cannot be read; its text can.
    }
  }
  return makeError(wire, 'error')
}
