import react from "@vitejs/plugin-react";
import { defineConfig, mergeConfig } from "vite";
import { common } from "../common/vite.ts";

export default defineConfig(mergeConfig(common, { plugins: [react()] }));
