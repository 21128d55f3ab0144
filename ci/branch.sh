#!/bin/sh
# Prints the branch that is checked out. CI systems check out a commit and name the branch in the
# environment: GitHub (of a pull request, of a push), GitLab. Prints nothing where none is known.
branch=$(git branch --show-current 2>/dev/null)
printf '%s\n' "${branch:-${GITHUB_HEAD_REF:-${GITHUB_REF_NAME:-${CI_COMMIT_REF_NAME-}}}}" | tr -d '"\\'
