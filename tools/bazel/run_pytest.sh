#!/bin/bash
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml="$XML_OUTPUT_FILE" "$@"
