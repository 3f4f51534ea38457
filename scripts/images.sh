#!/usr/bin/env bash
# Builds the images of docker-compose.yml without pulling anything: static programs and the
# certificates of this machine in deploy/Dockerfile. SERVICES_IMAGE and NATS_IMAGE name them.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${SERVICES_IMAGE:=fastfeaturefetch/fff:local}" "${NATS_IMAGE:=fastfeaturefetch/nats:local}"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context"/fff/{bin,owned/data,etc/ssl/certs} "$context/nats/data"

for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  [ -e "$bundle" ] && break
done
cp -L "$bundle" "$context/fff/etc/ssl/certs/ca-certificates.crt"

export CGO_ENABLED=0 GOOS=linux GOWORK=off GOFLAGS=
go build -trimpath -ldflags '-s -w' -o "$context/fff/bin/" ./services/...
go build -trimpath -ldflags '-s -w' -o "$context/nats/nats-server" github.com/nats-io/nats-server/v2

docker build --quiet -f deploy/Dockerfile --target local -t "$SERVICES_IMAGE" "$context"
docker build --quiet -f deploy/Dockerfile --target nats -t "$NATS_IMAGE" "$context"
