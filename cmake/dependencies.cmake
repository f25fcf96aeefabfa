# The libraries of others, each as an interface target, found with pkg-config.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(hakuban_externals INTERFACE)
target_link_libraries(hakuban_externals INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)

function(hakuban_dependency target module package reason)
    pkg_check_modules(${target} QUIET IMPORTED_TARGET ${module})
    if(NOT ${target}_FOUND)
        message(FATAL_ERROR "${reason} needs ${module}, which pkg-config does not find. "
            "On Debian or Ubuntu: apt-get install ${package}")
    endif()
    message(STATUS "${module} ${${target}_VERSION}")
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE PkgConfig::${target})
endfunction()

hakuban_dependency(hakuban_uv libuv libuv1-dev "The runtime")
target_link_libraries(hakuban_externals INTERFACE hakuban_uv)

hakuban_dependency(hakuban_xxhash libxxhash libxxhash-dev "The check value of states")
target_link_libraries(hakuban_externals INTERFACE hakuban_xxhash)

if(HAKUBAN_SERIALIZER_MSGPACK)
    # pkg-config knows msgpack-c by the name msgpack before 6.0, as in Debian 12. Only its headers are used; nothing is linked.
    pkg_search_module(msgpack QUIET msgpack-c msgpack)
    if(NOT msgpack_FOUND)
        message(FATAL_ERROR "HAKUBAN_SERIALIZER_MSGPACK=ON needs msgpack-c or msgpack, which "
            "pkg-config does not find. On Ubuntu from 24.04 on: apt-get install libmsgpack-c-dev; "
            "on Debian 12: apt-get install libmsgpack-dev")
    endif()
    message(STATUS "${msgpack_MODULE_NAME} ${msgpack_VERSION}")
    add_library(hakuban_msgpack INTERFACE)
    target_include_directories(hakuban_msgpack SYSTEM INTERFACE ${msgpack_INCLUDE_DIRS})
endif()

if(HAKUBAN_TRANSPORT_ZMQ)
    hakuban_dependency(hakuban_zmq libzmq libzmq3-dev "HAKUBAN_TRANSPORT_ZMQ=ON")
    target_link_libraries(hakuban_externals INTERFACE hakuban_zmq)
endif()

if(HAKUBAN_TRANSPORT_WS)
    # Debian's package has no file for pkg-config.
    if(NOT hakuban_has_wslay)
        message(FATAL_ERROR "HAKUBAN_TRANSPORT_WS=ON needs wslay, which is not found. "
            "On Debian or Ubuntu: apt-get install libwslay-dev")
    endif()
    message(STATUS "wslay ${HAKUBAN_WSLAY_LIBRARY}")
    add_library(hakuban_wslay INTERFACE)
    target_include_directories(hakuban_wslay SYSTEM INTERFACE ${HAKUBAN_WSLAY_INCLUDE})
    target_link_libraries(hakuban_wslay INTERFACE ${HAKUBAN_WSLAY_LIBRARY})
    target_link_libraries(hakuban_externals INTERFACE hakuban_wslay)
endif()

if(HAKUBAN_TLS)
    hakuban_dependency(hakuban_openssl "openssl>=3.0" libssl-dev "HAKUBAN_TLS=ON")
    target_link_libraries(hakuban_externals INTERFACE hakuban_openssl)
endif()

if(HAKUBAN_COMPRESSOR_ZSTD)
    hakuban_dependency(hakuban_zstd libzstd libzstd-dev "HAKUBAN_COMPRESSOR_ZSTD=ON")
    target_link_libraries(hakuban_externals INTERFACE hakuban_zstd)
endif()

if(HAKUBAN_BUILD_TESTS)
    hakuban_dependency(hakuban_check check check "HAKUBAN_BUILD_TESTS=ON")
endif()
