{{- /* Mounts and volumes: the secret files, and the shared memory of several workers. */ -}}
{{- define "gateway.mounts" -}}
{{- range $name, $file := include "gateway.files" . | fromYaml }}
{{- if (index $.Values.secrets $name).name }}
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
{{- range $name, $file := include "gateway.files" . | fromYaml }}
{{- with index $.Values.secrets $name }}
{{- if .name }}
- name: {{ $file.volume }}
  secret:
    secretName: {{ .name }}
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
