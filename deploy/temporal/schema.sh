#!/bin/sh
# Makes Temporal's two databases, and brings their schemas to the version of this image. Running it again is safe.
set -eu
for name in temporal temporal_visibility; do
    case $name in
        temporal) schema=temporal ;;
        *) schema=visibility ;;
    esac
    temporal-sql-tool --db "$name" create
    temporal-sql-tool --db "$name" setup-schema -v 0.0 || true # it is there already
    temporal-sql-tool --db "$name" update-schema -d "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
