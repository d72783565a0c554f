#!/bin/sh
# A plugin that does what $SCRIPT says: for testing clients.
eval "$SCRIPT"
