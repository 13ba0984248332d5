# The build of an app, as the build container of App Service on Linux makes it: its steps, their order, its words.
#
# `bash build.sh PARAMETERS`: the file assigns the names that begin with an underscore below. The user's commands run in
# this very shell, so that what they `export` counts for all that follows, and their failure ends the build.
set -e
BASH_ARGV0=build # in messages of bash

source "$1"
shift

_stamped() {
  while IFS= read -r line || [ -n "$line" ]; do
    if [ "$BASH_VERSINFO" -gt 4 ]; then
      printf '[%(%H:%M:%S%z)T] %s\n' -1 "$line"
    else # of macOS
      printf '[%s] %s\n' "$(date +%H:%M:%S%z)" "$line"
    fi
  done
}

# Run a command that installs, show what it says with the time, keep that in $_said, and its exit code in $_code.
_told() {
  {
    _code=0
    "$@" || _code=$?
    echo "$_code" >"$_scratch/code"
  } 2>&1 | tee "$_scratch/said" | _stamped
  _code=$(cat "$_scratch/code")
  _said=$(tr '\0' ' ' <"$_scratch/said")
}

# What a command of the user's has set for its own shell, and would change ours.
_settle() {
  set +u +o pipefail
  IFS=$' \t\n'
}

_as_uv() (
  for setting in "${_uv_environ[@]}"; do export "${setting?}"; done # not in an argument, which every user could read
  exec "$_uv" "$@"
)

# WARNING|ERROR, what was said, the exit code, what to review.
_report() {
  printf '"%s"|%s|%s | Exit code: %s | %s | More information: https://aka.ms/troubleshoot-python\n' \
    "$(date '+%Y-%m-%d %H:%M:%S')" "$@"
}

_end_unless_done() {
  if [ "$_code" != 0 ]; then
    _report ERROR "$_said" "$_code" "Please review your $1"
    exit "$_code"
  fi
}

# pip's words for what to install; uv installs it where that leaves what pip would have left, and pip elsewhere.
_install() {
  if [ "$_installer" = uv ]; then
    # With wheels alone uv takes the version that pip takes when it prefers binaries.
    _told _as_uv pip install --python "$_target_python" --only-binary :all: --compile-bytecode "$@"
    if [ "$_code" = 0 ]; then return; fi
    echo "uv pip install failed with exit code $_code, falling back to pip install..."
  fi
  _told "$_target_python" -m pip --disable-pip-version-check install --prefer-binary "$@"
}

# Whether uv installs, and what it would install now: nothing where it cannot say, or may not say again without a look.
_plan() {
  _planned=
  if [ "$_installer" != uv ] || [ -n "$_custom_build$_custom_build_file" ] || [ ! -e "$_requirements" ]; then return; fi
  if [ "$(env | grep '^PIP_' | sort)" != "$_pip_before" ]; then
    echo "A command has changed settings of pip: pip installs."
    _installer=pip
    return
  fi
  local planned
  planned=$(_as_uv pip install --python "$_fresh/bin/python" --only-binary :all: --dry-run -r "$_requirements" 2>&1) ||
    return 0
  case $planned in
    *"gnoring unsupported option"*)
      echo "uv does not know an option in $_requirements: pip installs."
      _installer=pip
      return
      ;;
    *" (from "*) return ;;
  esac
  if ! grep -q '^[[:space:]]*-' "$_requirements"; then
    _planned=$(grep '^ [-+~] ' <<<"$planned" && echo "$_offered" && env | grep '^UV_' | sort | cksum) || true
  fi
}

# An environment as `python -m venv` makes it, in a fraction of its time: a copy of one, told where it is. Where nothing
# has been released since the last build, what that one installed is what would be installed now.
_copy_environment() {
  local copying=
  if [ -f "$_kept/plan" ]; then
    _copy "$_kept/environment" "$_environment" & # while uv thinks; mostly it is right
    copying=$!
  fi
  _plan
  if [ -n "$copying" ]; then wait "$copying"; fi
  if [ -n "$_planned" ] && [ -f "$_kept/plan" ] && [ "$_planned" = "$(cat "$_kept/plan")" ]; then
    _is_kept=yes
  else
    rm -rf "$_environment"
    _copy "$_fresh" "$_environment"
  fi
  local text
  for script in activate activate.csh activate.fish; do
    text=$(cat "$_fresh/bin/$script")
    printf '%s\n' "${text//@environment@/"$SOURCE_DIR/$_environment"}" >"$_environment/bin/$script"
  done
}

_copy() {
  cp -RPp --reflink=auto "$1" "$2" 2>/dev/null || {
    rm -rf "$2"
    cp -RPp "$1" "$2"
  }
}

_install_requirements() {
  if [ -n "$_is_kept" ]; then
    _code=0
    printf 'Kept from the last build:\n%s\n' "$(grep '^ [-+~] ' <<<"$_planned")" | _stamped
    return
  fi
  _install "${_into[@]}" -r "$_requirements"
  if [ -n "$_planned" ]; then
    rm -rf "$_kept"
    if [ "$_code" = 0 ]; then
      mkdir -p "$_kept"
      _copy "$_environment" "$_kept/environment"
      printf '%s\n' "$_planned" >"$_kept/plan" # last: what has a plan is whole
    fi
  fi
}

command_not_found_handle() {
  case $1 in
    node | npm | npx | yarn | pnpm) echo "$1: it is not here. Install Node.js, which the platform's build has." >&2 ;;
    *) echo "$1: command not found" >&2 ;;
  esac
  return 127
}

export SOURCE_DIR=$_source_dir DESTINATION_DIR=$_destination_dir
echo "Source directory     : $SOURCE_DIR"
echo "Destination directory: $DESTINATION_DIR"
echo
cd "$SOURCE_DIR"
python=$_python
pip=$(dirname "$python")/pip
PATH=$(dirname "$python"):$PATH

if [ -n "$_os_packages" ]; then
  echo "REQUIRED_OS_PACKAGES: $_os_packages. They are not installed here; the platform's build installs them."
fi

_pip_before=$(env | grep '^PIP_' | sort)
if [ -n "$_pre_build$_pre_build_file" ]; then
  echo
  echo "Executing pre-build command..."
  _began=$SECONDS
  if [ -n "$_pre_build_file" ]; then
    chmod +x "$_pre_build_file"
    "$_pre_build_file"
  else
    eval "$_pre_build"
    _settle
  fi
  echo "Finished executing pre-build command."
  echo "Pre-build command done in $((SECONDS - _began)) sec(s)."
fi

echo
echo "Running build script snippets..."
_snippets_began=$SECONDS
cd "$SOURCE_DIR"

if [ -n "$_node" ]; then
  echo "Running 'npm install'..."
  npm install
  if [ "$(node -p "Boolean((require('./package.json').scripts || {}).build)")" = true ]; then
    echo "Running 'npm run build'..."
    npm run build
  fi
fi

echo "Python Version: $python"
_has_lock=
_is_kept=
_planned=
if [ ! -e "$_requirements" ] && [ -e pyproject.toml ] && [ -e uv.lock ]; then _has_lock=yes; fi
_into=()
if [ -n "$_environment" ]; then
  echo "Python Virtual Environment: $_environment"
  echo "Creating virtual environment..."
  rm -rf "$_environment"
  if [ -n "$_has_lock" ] && [ "$CreateVenvWithPythonVenv" != true ]; then
    echo "Executing: uv venv --link-mode=copy $_environment"
    _as_uv venv --quiet --link-mode=copy --python "$python" "$_environment"
  elif [ "$_installer" = uv ]; then
    _copy_environment
  else
    echo "Executing: $python -m venv $_environment --copies"
    "$python" -m venv "$_environment" --copies
  fi
  echo "Activating virtual environment..."
  source "$_environment/bin/activate"
  _target_python=$SOURCE_DIR/$_environment/bin/python
else
  echo "Package directory: $_packages"
  _plan
  _planned=
  mkdir -p "$_packages"
  _target_python=$_fresh/bin/python
  _into=("--target=$_packages")
  if [ -z "$_keeps_packages" ]; then _into+=(--upgrade); fi
  export PYTHONPATH=$SOURCE_DIR/$_packages${PYTHONPATH:+:$PYTHONPATH}
fi
if [ "$PYTHON_FAST_BUILD_ENABLED" = true ]; then echo "Fast build is enabled"; fi

_began=$SECONDS
if [ -n "$_custom_build$_custom_build_file" ]; then
  echo "Running custom build command..."
  if [ -n "$_custom_build_file" ]; then
    chmod +x "$_custom_build_file"
    "$_custom_build_file"
  else
    eval "$_custom_build"
    _settle
  fi
  cd "$SOURCE_DIR"
elif [ -e "$_requirements" ]; then
  echo "Running pip install..."
  _install_requirements
  _end_unless_done requirements.txt
  echo "pip install done in $((SECONDS - _began)) sec(s)."
elif [ -e setup.py ]; then
  echo "Running python setup.py install..."
  _install "${_into[@]}" setuptools
  if [ "$_code" = 0 ]; then
    # The app itself is no wheel of an index, and has to be built at every build.
    _told "$_target_python" -m pip --disable-pip-version-check install "${_into[@]}" .
  fi
  _end_unless_done setup.py
  echo "pip install done in $((SECONDS - _began)) sec(s)."
elif [ -n "$_has_lock" ]; then
  echo "Running uv sync..."
  if [ -n "$_environment" ]; then
    _told _as_uv sync --active --link-mode copy
  else
    _as_uv export --quiet --locked --no-emit-project --output-file "$_scratch/locked.txt" >/dev/null || exit $?
    _told _as_uv pip install --python "$_target_python" "${_into[@]}" -r "$_scratch/locked.txt"
  fi
  _end_unless_done uv.lock
  echo "uv sync done in $((SECONDS - _began)) sec(s)."
elif [ -e pyproject.toml ] && [ -n "$_packages" ]; then
  echo "Running pip install..."
  _told "$_target_python" -m pip --disable-pip-version-check install "${_into[@]}" .
  _end_unless_done pyproject.toml
  echo "pip install done in $((SECONDS - _began)) sec(s)."
elif [ -e pyproject.toml ]; then
  echo "Running pip install poetry..."
  _install poetry
  _end_unless_done pyproject.toml
  echo "Running poetry install..."
  _told poetry install --no-interaction --only main
  if [ "$_code" != 0 ]; then
    echo "poetry install failed with --only main flag, falling back to --no-dev"
    _install 'poetry==1.8.5'
    _told poetry install --no-interaction --no-dev
  fi
  if [ "$_code" != 0 ]; then
    _report WARNING "$_said" "$_code" "Please review message"
    exit "$_code"
  fi
  echo "poetry install done in $((SECONDS - _began)) sec(s)."
else
  echo "$_not_found"
fi

if [ -z "$_no_collectstatic" ] && [ -e manage.py ]; then
  if [ -e "$_requirements" ] && grep -qi django "$_requirements"; then
    echo
    echo "Content in source directory is a Django app"
    echo "Running 'collectstatic'..."
    _began=$SECONDS
    _told python manage.py collectstatic --noinput
    if [ "$_code" = 0 ]; then
      echo "collectstatic done in $((SECONDS - _began)) sec(s)."
    else
      _report WARNING "$_said" "$_code" "Please review message"
    fi
  else
    _report WARNING "Missing Django module in $SOURCE_DIR/$_requirements" 0 \
      "Add Django to your requirements.txt file."
  fi
fi

if [ -n "$_environment" ] && [ -n "$_compressed" ]; then
  echo "Compressing existing '$_environment' folder..."
  if [ "$_compressed" = zip ]; then
    (cd "$_environment" && "$python" -m zipfile -c "../$_environment.zip" ./*)
  else
    tar -czf "$_environment.tar.gz" -C "$_environment" .
  fi
fi

echo "Build script snippets done in $((SECONDS - _snippets_began)) sec(s)."

if [ -n "$_post_build$_post_build_file" ]; then
  echo
  echo "Executing post-build command..."
  _began=$SECONDS
  if [ -n "$_post_build_file" ]; then
    chmod +x "$_post_build_file"
    "$_post_build_file"
  else
    eval "$_post_build"
    _settle
  fi
  echo "Finished executing post-build command."
  echo "Post-build command done in $((SECONDS - _began)) sec(s)."
fi

: >"$_scratch/done"
