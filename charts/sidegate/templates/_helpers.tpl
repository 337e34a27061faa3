{{/* The name of every object of the operator: the release's name, with "-operator" behind it. */}}
{{- define "sidegate.operator" -}}
{{ printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sidegate.selectorLabels" -}}
app.kubernetes.io/name: sidegate-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sidegate.labels" -}}
{{ include "sidegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* An image's name: repository and tag, the chart's appVersion if none is given. */}}
{{- define "sidegate.image" -}}
{{ .image.repository }}:{{ .image.tag | default .appVersion }}
{{- end }}

{{/* The Secret with the webhook's certificate that is mounted; none where the operator makes it. */}}
{{- define "sidegate.certificateSecret" -}}
{{- $certificates := .Values.webhook.certificates }}
{{- if eq $certificates.mode "cert-manager" }}{{ include "sidegate.operator" . }}-cert-manager-tls{{ end }}
{{- if eq $certificates.mode "secret" }}{{ $certificates.secretName }}{{ end }}
{{- end }}
