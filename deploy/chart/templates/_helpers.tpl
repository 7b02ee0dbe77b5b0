{{- define "gql-identity.name" -}}
{{- ternary .Release.Name (printf "%s-gql-identity" .Release.Name) (contains "gql-identity" .Release.Name) | trunc 48 | trimSuffix "-" -}}
{{- end }}

{{- define "gql-identity.selector" -}}
app.kubernetes.io/name: gql-identity
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gql-identity.labels" -}}
{{ include "gql-identity.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "gql-identity.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What every pod of the service and of its commands has. */}}
{{- define "gql-identity.pod" -}}
automountServiceAccountToken: false
# A Service called gql-identity would set variables such as GQL_IDENTITY_PORT in every pod of its namespace.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: secrets
    secret: {secretName: {{ .Values.existingSecret }}}
  # For `export -` and `import -` of few keys, which keep a copy while they run. The service writes nothing. In memory,
  # since the size of an emptyDir on the node's disk does not bound files without a name: docs/deploy.md.
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "gql-identity.container" -}}
image: {{ include "gql-identity.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: GQL_IDENTITY_MONGO_URI_FILE, value: /run/secrets/gql-identity/mongo-uri}
  - {name: GQL_IDENTITY_PEPPER_FILE, value: /run/secrets/gql-identity/pepper}
  {{- if .Values.peppersRetired }}
  - {name: GQL_IDENTITY_PEPPERS_RETIRED_FILE, value: /run/secrets/gql-identity/peppers-retired}
  {{- end }}
  {{- if .Values.ratesStore }}
  - {name: GQL_IDENTITY_RATES_STORE_FILE, value: /run/secrets/gql-identity/rates-store}
  {{- end }}
  - name: GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS
    value: {{ .Values.shutdownDelaySeconds | quote }}
  {{- if .Values.metrics.enabled }}
  - name: GQL_IDENTITY_METRICS_PORT
    value: {{ .Values.metrics.port | quote }}
  {{- end }}
  {{- range $name, $value := .Values.settings }}
  - name: GQL_IDENTITY_{{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/gql-identity, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}
