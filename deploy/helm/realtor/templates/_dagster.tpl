{{- define "realtor.dagsterHome" -}}/opt/dagster/home{{- end }}

{{- define "realtor.marketFile" -}}/opt/dagster/market.toml{{- end }}

{{/* dagster.yaml: the repository's file, plus the settings for a cluster. */}}
{{- define "realtor.dagsterInstance" -}}
{{ .Files.Get "files/dagster.yaml" | trim }}

# Stores the output of runs in S3, where it remains when the pod is gone.
compute_logs:
  module: dagster_aws.s3.compute_log_manager
  class: S3ComputeLogManager
  config:
    bucket: {{ .Values.storage.bucket }}
    prefix: dagster
    skip_empty_files: true
    upload_interval: 30

# Runs use the image of the code server (DAGSTER_CURRENT_IMAGE).
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    job_namespace: {{ .Release.Namespace }}
    service_account_name: {{ .Values.name }}-dagster-run
    instance_config_map: {{ .Values.name }}-dagster
    dagster_home: {{ include "realtor.dagsterHome" $ }}
    image_pull_policy: IfNotPresent
    # The tags of a run can change its resources, and nothing else.
    only_allow_user_defined_k8s_config_fields:
      container_config: {resources: true}
    only_allow_user_defined_env_vars: []
    run_k8s_config:
      job_spec_config:
        ttlSecondsAfterFinished: {{ .Values.dagster.runs.keepSeconds }}
      pod_template_spec_metadata:
        labels:
          {{- include "realtor.selector" (list $ "dagster-run") | nindent 10 }}
        annotations:
          # The autoscaler does not remove a node during a training, which can take hours.
          cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
      pod_spec_config:
        automountServiceAccountToken: false
        {{- include "realtor.pod" (list $ 10001) | nindent 8 }}
        terminationGracePeriodSeconds: 60
        volumes:
          {{- include "realtor.dagsterVolumes" (list $ .Values.dagster.runs.resources.limits) | nindent 10 }}
      container_config:
        workingDir: {{ include "realtor.dagsterHome" $ }}
        resources:
          {{- toYaml .Values.dagster.runs.resources | nindent 10 }}
        securityContext:
          {{- include "realtor.containerSecurity" $ | nindent 10 }}
        volumeMounts:
          {{- include "realtor.dagsterMounts" $ | nindent 10 }}
        env:
          {{- include "realtor.dagsterCodeEnv" $ | nindent 10 }}
{{- end }}

{{/* Variables of every Dagster process: its storage and its logs. */}}
{{- define "realtor.dagsterEnv" -}}
- {name: DAGSTER_HOME, value: {{ include "realtor.dagsterHome" $ }}}
{{- if .Values.dagster.market }}
- {name: REALTOR_MARKET, value: {{ include "realtor.marketFile" $ }}}
{{- end }}
{{ include "realtor.storageEnv" (list $ "pipeline") }}
{{- include "realtor.secretEnv" (list $ "databases" "DAGSTER_POSTGRES_URL") }}
{{- end }}

{{/* Variables of the code server and of runs. */}}
{{- define "realtor.dagsterCodeEnv" -}}
{{- include "realtor.dagsterEnv" $ }}
- {name: BENTOML_HOME, value: /tmp/bentoml}
- {name: MLFLOW_TRACKING_URI, value: {{ include "realtor.mlflowUrl" $ }}}
- {name: REALTOR_STORAGE_URL, value: {{ include "realtor.storageUrl" $ }}}
- {name: REALTOR_SERVICE_URL, value: {{ include "realtor.serviceUrl" $ }}}
- {name: REALTOR_API_URL, value: {{ required "upstream.url is not set: the listings API, e.g. https://listings.example" .Values.upstream.url | quote }}}
- {name: REALTOR_DAGSTER_URL, value: {{ .Values.links.dagster | quote }}}
{{- include "realtor.env" .Values.dagster.env }}
{{- include "realtor.secretEnv" (list $ "databases" "REALTOR_RAW_DATABASE_URL" "REALTOR_CLEAN_DATABASE_URL") }}
{{- include "realtor.secretEnv" (list $ "service" "REALTOR_SERVICE_API_KEY") }}
{{- end }}

{{- define "realtor.dagsterMounts" -}}
- {name: home, mountPath: {{ include "realtor.dagsterHome" $ }}}
- {name: instance, mountPath: {{ include "realtor.dagsterHome" $ }}/dagster.yaml, subPath: dagster.yaml, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .Values.dagster.market }}
- {name: instance, mountPath: {{ include "realtor.marketFile" $ }}, subPath: market.toml, readOnly: true}
{{- end }}
{{- end }}

{{/* (root, limits of the container): the size of /tmp is the container's limit of ephemeral storage. */}}
{{- define "realtor.dagsterVolumes" -}}
- {name: home, emptyDir: {sizeLimit: 1Gi}}
- {name: instance, configMap: {name: {{ (index . 0).Values.name }}-dagster}}
- {name: tmp, emptyDir: {sizeLimit: {{ index (index . 1) "ephemeral-storage" | default "2Gi" }}}}
{{- end }}

{{/* (root, program): first lines of a Deployment. One replica, because two daemons would do everything twice. */}}
{{- define "realtor.dagsterDeployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "realtor.metadata" . | nindent 2 }}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector:
    matchLabels:
      {{- include "realtor.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "realtor.labels" . | nindent 8 }}
      annotations:
        checksum/instance: {{ printf "%s%s" (include "realtor.dagsterInstance" (index . 0)) (index . 0).Values.dagster.market | sha256sum }}
{{- end }}
