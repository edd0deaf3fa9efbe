{{- /* Mounts and volumes: the files of settings, and the shared memory of several workers. */ -}}
{{- define "gateway.mounts" -}}
{{- $sources := include "gateway.sources" . | fromYaml }}
{{- range $name, $file := include "gateway.files" . | fromYaml }}
{{- if (index $sources $name).name }}
- name: {{ $file.volume }}
  mountPath: /etc/gateway/{{ $file.volume }}
  readOnly: true
{{- end }}
{{- end }}
{{- if gt (int .Values.workers) 1 }}
- name: shared-memory
  mountPath: /dev/shm
{{- end }}
{{- end }}

{{- define "gateway.volumes" -}}
{{- $sources := include "gateway.sources" . | fromYaml }}
{{- range $name, $file := include "gateway.files" . | fromYaml }}
{{- with index $sources $name }}
{{- if .name }}
- name: {{ $file.volume }}
  {{- if hasKey $.Values.configMaps $name }}
  configMap:
    name: {{ .name }}
  {{- else }}
  secret:
    secretName: {{ .name }}
  {{- end }}
    defaultMode: 0440
    items:
      - {key: {{ .key | quote }}, path: {{ .key | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- if gt (int .Values.workers) 1 }}
# Workers share their metrics in files.
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- end }}
{{- end }}
