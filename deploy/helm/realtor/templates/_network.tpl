{{/*
Allowed connections: for each server its port, its clients, and which of the namespaces `ingress` and
`monitoring` may connect. The NetworkPolicies of both ends come from this table.
*/}}
{{- define "realtor.edges" -}}
postgres:
  port: 5432
  clients: [mlflow, dagster-webserver, dagster-daemon, dagster-code, dagster-run, dagster-metrics, service, backup]
s3:
  port: 8333
  clients: [mlflow, dagster-webserver, dagster-daemon, dagster-code, dagster-run, dagster-metrics, service, backup]
mlflow:
  port: 5000
  clients: [dagster-code, dagster-run, dagster-metrics, service]
dagster-code:
  port: 4000
  clients: [dagster-webserver, dagster-daemon]
dagster-webserver:
  port: 3000
  clients: []
dagster-metrics:
  port: 9464
  clients: []
  outside: [monitoring]
service:
  port: 8080
  clients: [ui, dagster-code, dagster-run, load, test]
  outside: [ingress, monitoring]
ui:
  port: 8501
  clients: []
  outside: [ingress]
{{- end }}

{{/* Clients of each server outside the namespace. */}}
{{- define "realtor.externalEdges" -}}
postgres: [mlflow, dagster-webserver, dagster-daemon, dagster-code, dagster-run, dagster-metrics, service, backup]
s3: [mlflow, dagster-webserver, dagster-daemon, dagster-code, dagster-run, dagster-metrics, service, backup]
internet: [dagster-code, dagster-run]
kubernetes: [dagster-webserver, dagster-daemon]
{{- end }}

{{/* (root, program): its NetworkPolicy. It denies every connection that is not in the tables. */}}
{{- define "realtor.networkPolicy" -}}
{{- $root := index . 0 -}}
{{- $program := index . 1 -}}
{{- $edges := include "realtor.edges" $root | fromYaml -}}
{{- $external := include "realtor.externalEdges" $root | fromYaml -}}
{{- $network := $root.Values.network }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "realtor.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "realtor.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- $own := index $edges $program | default dict }}
  {{- if or $own.clients $own.outside }}
  ingress:
    - ports: [{protocol: TCP, port: {{ $own.port }}}]
      from:
        {{- range $own.clients }}
        - podSelector:
            matchLabels:
              {{- include "realtor.selector" (list $root .) | nindent 14 }}
        {{- end }}
        {{- range $own.outside }}
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ index $network (printf "%sNamespace" .) }}
        {{- end }}
  {{- end }}
  egress:
    # DNS
    - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
      ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
    {{- range $server, $edge := $edges }}
    {{- if has $program $edge.clients }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "realtor.selector" (list $root $server) | nindent 14 }}
      ports: [{protocol: TCP, port: {{ $edge.port }}}]
    {{- end }}
    {{- end }}
    {{- range $server, $clients := $external }}
    {{- $place := index $network.external $server }}
    {{- if and (has $program $clients) $place.cidrs }}
    - to:
        {{- range $place.cidrs }}
        - ipBlock:
            cidr: {{ . }}
            {{- if eq . "0.0.0.0/0" }}
            # Excludes the cloud's metadata service, which gives out the credentials of the machine.
            except: [169.254.0.0/16]
            {{- end }}
        {{- end }}
      ports:
        {{- range $place.ports }}
        - {protocol: TCP, port: {{ . }}}
        {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
