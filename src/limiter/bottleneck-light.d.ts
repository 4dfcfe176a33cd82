/** The build of Bottleneck without Redis; the package declares no types for it. */
declare module 'bottleneck/light.js' {
  export { default } from 'bottleneck'
}
