// monaco-editor declares the types of its main module only.
declare module "monaco-editor/esm/vs/editor/editor.worker.js" {
  import type { worker } from "monaco-editor";

  export function initialize<Data>(create: (context: worker.IWorkerContext, data: Data) => unknown): void;
}
