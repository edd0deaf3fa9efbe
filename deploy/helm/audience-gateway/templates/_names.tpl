{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* A release that is named after the chart, or by words of its name, does not repeat them. */ -}}
{{- define "gateway.fullname" -}}
{{- $name := include "gateway.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else if contains (printf "-%s-" .Release.Name) (printf "-%s-" $name) }}
{{- $name }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "gateway.serviceAccount" -}}
{{- $own := ternary (include "gateway.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "gateway.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- /* The setting of each file, and the directory it is mounted at. */ -}}
{{- define "gateway.files" -}}
oidcFile: {setting: GATEWAY_OIDC_FILE, volume: oidc}
routerSecretFile: {setting: GATEWAY_ROUTER_SECRET_FILE, volume: router-secret}
cacheUrlFile: {setting: GATEWAY_CACHE_URL_FILE, volume: cache-url}
persistedDocumentsFile: {setting: GATEWAY_PERSISTED_DOCUMENTS_FILE, volume: persisted-documents}
{{- end }}

{{- /* The Secret or ConfigMap of each file. */ -}}
{{- define "gateway.sources" -}}
{{- merge (dict) .Values.secrets .Values.configMaps | toYaml }}
{{- end }}

{{- /* The container port of /metrics, /livez and /readyz. */ -}}
{{- define "gateway.adminPort" -}}
{{- ternary "admin" "http" (hasKey .Values.settings "admin_port") }}
{{- end }}

{{- /* What clients may reach from outside: not /metrics and the health checks. */ -}}
{{- define "gateway.publicPaths" -}}
{{- $prefix := default "" .Values.settings.path_prefix | trimSuffix "/" }}
- {{ $prefix }}/graphql
{{- if .Values.settings.graphiql }}
- {{ $prefix }}/explorer/assets
{{- end }}
{{- end }}
