/** JSON with comments, taken in at one place. */
export { findNodeAtLocation, type ParseError, parse, parseTree, printParseErrorCode, visit } from 'jsonc-parser'
