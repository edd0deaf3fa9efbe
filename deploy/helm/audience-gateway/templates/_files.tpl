{{- /* The secret files that are named, as mounts and as volumes. */ -}}
{{- define "gateway.mounts" -}}
{{- range $name, $file := include "gateway.files" . | fromYaml }}
{{- if (index $.Values.secrets $name).name }}
- name: {{ $file.volume }}
  mountPath: /etc/gateway/{{ $file.volume }}
  readOnly: true
{{- end }}
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
{{- end }}
