{{- define "realtor.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/part-of: {{ $root.Values.name }}
app.kubernetes.io/name: {{ index . 1 }}
{{- end }}

{{/* (root, component): labels of every object. */}}
{{- define "realtor.labels" -}}
{{- $root := index . 0 -}}
{{ include "realtor.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* (root, component): name, namespace and labels. */}}
{{- define "realtor.metadata" -}}
{{- $root := index . 0 -}}
name: {{ $root.Values.name }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "realtor.labels" . | nindent 2 }}
{{- end }}

{{/* (root, image): reference with the digest if there is one, else with the tag. */}}
{{- define "realtor.image" -}}
{{- $images := (index . 0).Values.images -}}
{{- $registry := required "images.registry is not set. Set it to the registry of the images, e.g. ghcr.io/your-organization" $images.registry -}}
{{- $name := printf "%s/realtor-%s" $registry (index . 1) -}}
{{- with index $images.digests (index . 1) -}}
{{ printf "%s@%s" $name . }}
{{- else -}}
{{ printf "%s:%s" $name ($images.tag | default (index $ 0).Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* (root, path): name of the existing Secret at this path below `secrets`, e.g. storage.mlflow. */}}
{{- define "realtor.secret" -}}
{{- $name := dict "of" (index . 0).Values.secrets -}}
{{- range splitList "." (index . 1) }}{{ $_ := set $name "of" (index $name.of .) }}{{ end -}}
{{- required (printf "secrets.%s is not set. Set it to the name of an existing Secret; docs/KUBERNETES.md lists its keys" (index . 1)) $name.of -}}
{{- end }}

{{/* (root, secret, key...): one variable per key of the Secret, with the name of the key. */}}
{{- define "realtor.secretEnv" -}}
{{- $secret := include "realtor.secret" . -}}
{{- range slice . 2 }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}
{{- end }}
{{- end }}

{{/* Variables from a map of names and values. */}}
{{- define "realtor.env" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* (root, program): variables of the object store, with the keys of pipeline, mlflow, service or backup. */}}
{{- define "realtor.storageEnv" -}}
{{- $storage := (index . 0).Values.storage -}}
- {name: AWS_DEFAULT_REGION, value: {{ $storage.region | quote }}}
{{- with $storage.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- include "realtor.secretEnv" (list (index . 0) (printf "storage.%s" (index . 1)) "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") }}
{{- end }}

{{- define "realtor.storageUrl" -}}
s3://{{ .Values.storage.bucket }}/realtor
{{- end }}

{{- define "realtor.artifactsUrl" -}}
s3://{{ .Values.storage.artifactsBucket }}/mlflow
{{- end }}

{{/* (root, user): security context of a pod. The user of our images is 10001. */}}
{{- define "realtor.podSecurity" -}}
{{- $user := index . 1 -}}
runAsNonRoot: true
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
fsGroup: {{ $user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* (root, user): settings of every pod, except automountServiceAccountToken, which each pod sets. */}}
{{- define "realtor.pod" -}}
securityContext:
  {{- include "realtor.podSecurity" . | nindent 2 }}
enableServiceLinks: false
{{- with (index . 0).Values.images.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "realtor.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* (path, port, seconds to start): startup, liveness and readiness over HTTP. */}}
{{- define "realtor.probes" -}}
startupProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 5
  failureThreshold: {{ div (index . 1) 5 }}
livenessProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: {{ index . 0 }}, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- define "realtor.serviceUrl" -}}
http://{{ .Values.name }}-service:8080
{{- end }}

{{- define "realtor.mlflowUrl" -}}
http://{{ .Values.name }}-mlflow:5000
{{- end }}

{{/* (root, program): all host names of its Service, separated by commas. */}}
{{- define "realtor.hosts" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-%s" $root.Values.name (index . 1) -}}
{{- $namespace := $root.Release.Namespace -}}
{{ $name }},{{ $name }}.{{ $namespace }},{{ $name }}.{{ $namespace }}.svc,{{ $name }}.{{ $namespace }}.svc.cluster.local
{{- end }}
