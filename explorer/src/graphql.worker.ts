import { initialize } from "monaco-editor/esm/vs/editor/editor.worker.js";
import { GraphQLWorker } from "monaco-graphql/esm/GraphQLWorker.js";
import type { ICreateData } from "monaco-graphql/esm/typings/index.js";

import { isAboutFederation } from "./federation";

// Checks documents against the schema that is shown.
class ShownSchemaWorker extends GraphQLWorker {
  async doValidation(uri: string) {
    const markers = await super.doValidation(uri);
    return markers.filter(({ message }) => !isAboutFederation(message));
  }
}

self.onmessage = () => initialize<ICreateData>((context, data) => new ShownSchemaWorker(context, data));
