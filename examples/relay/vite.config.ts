import babel from "@rolldown/plugin-babel";
import react from "@vitejs/plugin-react";
import { common } from "../common/vite.ts";
import { defineConfig, mergeConfig } from "vite";

export default defineConfig(
  mergeConfig(common, {
    // Replaces each graphql`…` by the artifact that relay-compiler made of it.
    plugins: [babel({ include: /\/relay\/src\/.*\.tsx?$/, plugins: [["relay", { eagerEsModules: true }]] }), react()],
  }),
);
