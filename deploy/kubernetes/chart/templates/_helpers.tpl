{{- define "anomaly-worker.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "anomaly-worker.selector" -}}
app.kubernetes.io/name: anomaly-worker
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "anomaly-worker.labels" -}}
{{ include "anomaly-worker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "anomaly-worker.image" -}}
{{- $flavour := ternary "cu130" "cpu" .Values.gpu.enabled -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s-%s" .Chart.AppVersion $flavour) }}
{{- end }}

{{/* What every pod has in common, at the level of its spec. */}}
{{- define "anomaly-worker.pod" -}}
serviceAccountName: {{ include "anomaly-worker.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: config
    configMap: {name: {{ include "anomaly-worker.name" . }}}
  - name: secrets
    secret: {secretName: {{ .Values.secretName }}, optional: true, defaultMode: 0440}
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
{{- end }}

{{/* What every container has in common. */}}
{{- define "anomaly-worker.container" -}}
image: {{ include "anomaly-worker.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: config, mountPath: /etc/anomaly-worker, readOnly: true}
  - {name: secrets, mountPath: /run/secrets/anomaly-worker, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}
