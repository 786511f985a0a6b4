'use strict'
/** @param {string} text */
module.exports = (text) => text.toUpperCase()
