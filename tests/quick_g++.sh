#!/bin/sh
# The C++ compiler of the tests, which name it in $CXX: engines are compiled with less optimisation, once per run, and
# with the headers of vector instructions read once per target. Results are kept in the directory that
# $RT4KSR_TEST_ENGINES names. All else that a compiler is asked, the system's compiler answers.
#
# An engine has the same bits at any level of optimisation: -ffp-contract=off forbids what would change them.
# The name of this file: torch.compile takes a compiler for GCC if there is "g++" in its path.
case " $* " in
*" -O3 "*" -c engine.cpp -o engine.o ") ;;
*) exec c++ "$@" ;;
esac

kept=$RT4KSR_TEST_ENGINES
linked='/^-s$/d; /^-static/d; /^-Wl,/d; /-sections$/d' # options that make a smaller library, and no other results
options=$(printf '%s\n' "$@" | sed "/^-[co]\$/d; /^engine\.[a-z]*\$/d; s/^-O3\$/-Og/; $linked")
key() { sha256sum | cut -c 1-32; }

object=$kept/$({ echo "$options"; sha256sum ./*.cpp ./*.h; } | key).o
if [ ! -f "$object" ]; then
  standard=/dev/null
  case $options in
  *-march=x86-64-v*)
    included=$(grep -h '^#include <' ./*.h | grep -v 'arm_neon\|cpuid' | sort -u)
    folder=$kept/$({ echo "$options"; echo "$included"; } | key)
    standard=$folder/standard.h
    if [ ! -f "$standard.gch" ]; then # where GCC looks for it
      mkdir -p "$folder"
      echo "$included" >"$folder/$$.h"
      # shellcheck disable=SC2086  # one word per option
      c++ $options -x c++-header "$folder/$$.h" -o "$folder/$$.gch" || exit
      mv "$folder/$$.h" "$standard"
      mv "$folder/$$.gch" "$standard.gch"
    fi
    ;;
  esac
  # shellcheck disable=SC2086
  c++ $options -include "$standard" -c engine.cpp -o "$object.$$" || exit
  mv "$object.$$" "$object"
fi
cp "$object" engine.o
