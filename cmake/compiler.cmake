# Flags as interface targets: each target names those that it takes, and users of the library inherit none.

add_library(hakuban_flags INTERFACE)
target_compile_options(hakuban_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wimplicit-fallthrough -Wformat=2 -Werror=implicit -Werror=incompatible-pointer-types
    -Werror=int-conversion
    $<$<C_COMPILER_ID:Clang>:-Wthread-safety>
    $<$<BOOL:${HAKUBAN_WERROR}>:-Werror>
    -fstack-protector-strong -fno-strict-aliasing -fno-strict-overflow)

add_library(hakuban_program_flags INTERFACE)
target_compile_options(hakuban_program_flags INTERFACE -fPIE)
target_link_options(hakuban_program_flags INTERFACE -pie)
target_link_options(hakuban_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)

if(HAKUBAN_SANITIZE)
    target_compile_options(hakuban_flags INTERFACE
        -fsanitize=${HAKUBAN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(hakuban_flags INTERFACE -fsanitize=${HAKUBAN_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    # Not with a sanitizer: FORTIFY and sanitizers each hide findings of the other.
    target_compile_options(hakuban_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

if(HAKUBAN_BUILD_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "HAKUBAN_BUILD_FUZZ is ON but the compiler is ${CMAKE_C_COMPILER_ID}: "
            "libFuzzer needs clang (CC=clang, or the preset fuzz)")
    endif()
    target_compile_options(hakuban_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(hakuban_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
