{{/* The namespace that Aegis publishes in. */}}
{{- define "aegis.namespace" -}}
{{ .Values.namespace | default .Release.Namespace }}
{{- end -}}

{{/*
The objects of a file of manifest/deploy, given as {root, file}, for the namespaces of this release: what the procedures
need, and what the controller may do, stand where Aegis publishes; the controller's account stands where it runs.
*/}}
{{- define "aegis.objects" -}}
{{- $root := .root -}}
{{- $publish := include "aegis.namespace" $root -}}
{{- $apart := ne $publish $root.Release.Namespace -}}
{{- range $text := regexSplit "(?m)^---$" ($root.Files.Get .file) -1 }}
{{- $object := fromYaml $text }}
{{- $isAccount := eq $object.kind "ServiceAccount" }}
{{- if and $apart (or (has $object.kind (list "Role" "RoleBinding")) (and $isAccount (ne $object.metadata.name "aegis"))) }}
{{- $_ := set $object.metadata "namespace" $publish }}
{{- end }}
{{- range $subject := $object.subjects }}
{{- if or $apart (hasKey $subject "namespace") }}
{{- $_ := set $subject "namespace" (eq $subject.name "aegis" | ternary $root.Release.Namespace $publish) }}
{{- end }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end -}}
