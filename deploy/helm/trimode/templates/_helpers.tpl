{{/* Names, labels and the parts that the Deployment and the Job share. */}}
{{- define "trimode.name" -}}
{{- $made := ternary .Release.Name (printf "%s-trimode" .Release.Name) (contains "trimode" .Release.Name) -}}
{{- default $made .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "trimode.selector" -}}
app.kubernetes.io/name: trimode
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trimode.labels" -}}
{{ include "trimode.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "trimode.tag" -}}
{{- .Values.image.tag | default (printf "v%s" .Chart.AppVersion) -}}
{{- end -}}

{{- define "trimode.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ include "trimode.tag" . }}
{{- end -}}
{{- end -}}

{{/* The bundle's folder: a plan runs under the image that compiled it alone, so another image gets another folder. */}}
{{- define "trimode.bundle" -}}
{{- $image := include "trimode.tag" . -}}
{{- if .Values.image.digest -}}{{- $image = .Values.image.digest | replace "sha256:" "" | trunc 12 -}}{{- end -}}
{{- $device := .Values.build.options.gpu | default (ternary "gpu" "cpu" (ne .Values.gpu.resource "")) -}}
{{- .Values.bundle.name | default (printf "%s-%s-%s" .Values.modelName $device $image) -}}
{{- end -}}

{{/* A mapping of options as arguments: (dict "options" ...). A list is an option given several times, true a switch. */}}
{{- define "trimode.options" -}}
{{- range $name, $value := .options }}
{{- if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "--%s=%v" $name . | quote }}
{{- end }}
{{- else if kindIs "bool" $value }}
{{- if $value }}
- {{ printf "--%s" $name | quote }}
{{- end }}
{{- else if kindIs "float64" $value }}
- {{ printf "--%s=%s" $name (ternary (printf "%d" (int64 $value)) (toString $value) (eq (floor $value) $value)) | quote }}
{{- else }}
- {{ printf "--%s=%v" $name $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Resources with one GPU where there is one: (dict "resources" ... "gpu" ...). */}}
{{- define "trimode.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpu -}}
{{- $_ := set $resources "limits" (merge (dict .gpu 1) ($resources.limits | default dict)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "trimode.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "trimode.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where programs may write: nowhere else, since the root is read-only. */}}
{{- define "trimode.environment" -}}
- {name: HOME, value: /tmp}
- {name: TMPDIR, value: /tmp}
- {name: PYTHONDONTWRITEBYTECODE, value: "1"}
{{- end -}}

{{- define "trimode.scratchMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- end -}}

{{- define "trimode.scratchVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.temporary }}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.sharedMemory }}}
{{- end -}}

{{/* Where a pod may run. */}}
{{- define "trimode.placement" -}}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "trimode.grace" -}}
{{- add .Values.drain.preStopSeconds .Values.drain.longestAnswerSeconds 15 -}}
{{- end -}}
