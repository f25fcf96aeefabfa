# What `cmake --install` installs, and where. The components become packages: runtime, development, router, tools.

include(CMakePackageConfigHelpers)

# The configuration is in /etc when the prefix is /usr, and below the prefix otherwise.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(hakuban_etc /etc/hakuban)
else()
    set(hakuban_etc ${CMAKE_INSTALL_SYSCONFDIR}/hakuban)
endif()
set(hakuban_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hakuban)

# ---- library ---------------------------------------------------------------------------------------------------------

# The modules of pkg-config that a program needs when it links the static library; hakubanConfig.cmake looks for them again.
set(hakuban_module_names hakuban_uv hakuban_xxhash)
set(hakuban_module_hakuban_uv libuv)
set(hakuban_module_hakuban_xxhash libxxhash)
set(hakuban_dev_packages libuv1-dev libxxhash-dev)
if(HAKUBAN_TRANSPORT_ZMQ)
    list(APPEND hakuban_module_names hakuban_zmq)
    set(hakuban_module_hakuban_zmq libzmq)
    list(APPEND hakuban_dev_packages libzmq3-dev)
endif()
if(HAKUBAN_TRANSPORT_WS)
    list(APPEND hakuban_dev_packages libwslay-dev)
endif()
if(HAKUBAN_TLS)
    list(APPEND hakuban_module_names hakuban_openssl)
    set(hakuban_module_hakuban_openssl openssl)
    list(APPEND hakuban_dev_packages libssl-dev)
endif()
if(HAKUBAN_COMPRESSOR_ZSTD)
    list(APPEND hakuban_module_names hakuban_zstd)
    set(hakuban_module_hakuban_zstd libzstd)
    list(APPEND hakuban_dev_packages libzstd-dev)
endif()
set(hakuban_modules "")
set(hakuban_private_libs "-lm ")
set(hakuban_find_modules "")
set(hakuban_static_links Threads::Threads m)
foreach(name IN LISTS hakuban_module_names)
    if(name STREQUAL "hakuban_zmq")
        # By its name only: Debian's libzmq.pc requires a module whose file is in no package.
        string(APPEND hakuban_private_libs "-lzmq ")
    else()
        list(APPEND hakuban_modules ${hakuban_module_${name}})
    endif()
    list(APPEND hakuban_static_links PkgConfig::${name})
    string(APPEND hakuban_find_modules
        "        pkg_check_modules(${name} QUIET IMPORTED_TARGET ${hakuban_module_${name}})\n"
        "        if(NOT ${name}_FOUND)\n"
        "            set(_hakuban_missing \"\${_hakuban_missing} ${hakuban_module_${name}}\")\n"
        "        endif()\n")
endforeach()
if(HAKUBAN_TRANSPORT_WS)
    # By its name: Debian's package has no file for pkg-config.
    string(APPEND hakuban_private_libs "-lwslay ")
    list(APPEND hakuban_static_links wslay)
    string(APPEND hakuban_find_modules
        "        find_library(HAKUBAN_WSLAY_LIBRARY wslay)\n"
        "        mark_as_advanced(HAKUBAN_WSLAY_LIBRARY)\n"
        "        if(NOT HAKUBAN_WSLAY_LIBRARY)\n"
        "            set(_hakuban_missing \"\${_hakuban_missing} wslay\")\n"
        "        endif()\n")
endif()
string(REPLACE ";" ", " hakuban_requires "${hakuban_modules}")

set(hakuban_static_targets hakuban)
if(BUILD_SHARED_LIBS)
    # The same objects as a static library, for programs that link everything.
    add_library(hakuban_static STATIC ${hakuban_objects})
    add_library(hakuban::static ALIAS hakuban_static)
    set_target_properties(hakuban_static PROPERTIES
        OUTPUT_NAME hakuban EXPORT_NAME static LINKER_LANGUAGE C)
    target_include_directories(hakuban_static PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
    target_link_libraries(hakuban_static PRIVATE $<BUILD_INTERFACE:hakuban_externals>)
    set(hakuban_static_targets hakuban_static)
    install(TARGETS hakuban EXPORT hakubanTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
            COMPONENT runtime NAMELINK_COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT hakubanTargets NAMESPACE hakuban:: DESTINATION ${hakuban_cmake_dir}
        COMPONENT development)
endif()
foreach(name IN LISTS hakuban_static_links)
    target_link_libraries(${hakuban_static_targets} INTERFACE
        $<INSTALL_INTERFACE:$<LINK_ONLY:${name}>>)
endforeach()
install(TARGETS ${hakuban_static_targets} EXPORT hakubanStaticTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT hakubanStaticTargets NAMESPACE hakuban:: DESTINATION ${hakuban_cmake_dir}
    COMPONENT development)
if(TARGET hakuban-conformance)
    install(TARGETS hakuban-conformance EXPORT hakubanConformanceTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT hakubanConformanceTargets NAMESPACE hakuban:: DESTINATION ${hakuban_cmake_dir}
        COMPONENT development)
endif()
install(DIRECTORY include/hakuban DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
    FILES_MATCHING PATTERN "*.h")

# ---- CMake package, pkg-config ---------------------------------------------------------------------------------------

set(hakuban_components "")
foreach(pair TRANSPORT_TCP=tcp TRANSPORT_TCP=unix TRANSPORT_WS=ws TRANSPORT_INPROC=inproc
        TRANSPORT_ZMQ=zmq TLS=tls
        SERIALIZER_JSON=json SERIALIZER_MSGPACK=msgpack COMPRESSOR_ZSTD=zstd)
    string(REPLACE "=" ";" pair ${pair})
    list(GET pair 0 option)
    list(GET pair 1 component)
    if(HAKUBAN_${option})
        list(APPEND hakuban_components ${component})
    endif()
endforeach()
configure_package_config_file(cmake/hakubanConfig.cmake.in
    ${PROJECT_BINARY_DIR}/generated/hakubanConfig.cmake
    INSTALL_DESTINATION ${hakuban_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/hakubanConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/hakubanConfig.cmake
    ${PROJECT_BINARY_DIR}/generated/hakubanConfigVersion.cmake
    DESTINATION ${hakuban_cmake_dir} COMPONENT development)

# The prefix is given relative to the file, so that the installed files can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(hakuban_pc_prefix ${CMAKE_INSTALL_PREFIX})
    set(hakuban_pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
    set(hakuban_pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
    file(RELATIVE_PATH hakuban_pc_prefix
        /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
    string(REGEX REPLACE "/$" "" hakuban_pc_prefix "\${pcfiledir}/${hakuban_pc_prefix}")
    set(hakuban_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(hakuban_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
# A shared library loads the libraries that it needs; with a static one the program links them.
set(hakuban_pc_private ".private")
set(hakuban_pc_libs "")
if(NOT BUILD_SHARED_LIBS)
    set(hakuban_pc_private "")
    set(hakuban_pc_libs " ${hakuban_private_libs}-pthread")
endif()
configure_file(cmake/hakuban.pc.in ${PROJECT_BINARY_DIR}/generated/hakuban.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/hakuban.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

# ---- programs --------------------------------------------------------------------------------------------------------

if(HAKUBAN_BUILD_TOOLS)
    if(BUILD_SHARED_LIBS AND NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
        # The programs find the library of their own prefix, also after the prefix was moved.
        file(RELATIVE_PATH hakuban_bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
        set_target_properties(tool-hakuban-router tool-hakuban PROPERTIES
            INSTALL_RPATH "$ORIGIN/${hakuban_bin_to_lib}")
    endif()
    install(TARGETS tool-hakuban-router RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
        COMPONENT router)
    install(FILES man/hakuban-router.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT router)
    install(TARGETS tool-hakuban RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
    install(FILES man/hakuban.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)

    get_filename_component(hakuban_full_etc ${hakuban_etc} ABSOLUTE
        BASE_DIR ${CMAKE_INSTALL_PREFIX})
    configure_file(packaging/hakuban-router.service.in
        ${PROJECT_BINARY_DIR}/generated/hakuban-router.service @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/generated/hakuban-router.service
        DESTINATION lib/systemd/system COMPONENT router)
    # A configuration that is there already is kept: an administrator may have changed it.
    set(hakuban_install_etc ${hakuban_etc})
    if(NOT IS_ABSOLUTE ${hakuban_etc})
        set(hakuban_install_etc "\${CMAKE_INSTALL_PREFIX}/${hakuban_etc}")
    endif()
    install(CODE "
        if(EXISTS \"\$ENV{DESTDIR}${hakuban_install_etc}/router.conf\")
            message(STATUS \"Kept as it is: \$ENV{DESTDIR}${hakuban_install_etc}/router.conf\")
            list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"${hakuban_install_etc}/router.conf\")
        else()
            file(INSTALL \"${PROJECT_SOURCE_DIR}/packaging/router.conf\"
                DESTINATION \"${hakuban_install_etc}\")
        endif()" COMPONENT router)
endif()

# ---- after installing, and back again --------------------------------------------------------------------------------

find_program(HAKUBAN_LDCONFIG ldconfig PATHS /sbin /usr/sbin)
mark_as_advanced(HAKUBAN_LDCONFIG)
if(BUILD_SHARED_LIBS AND HAKUBAN_LDCONFIG)
    set(hakuban_install_libdir ${CMAKE_INSTALL_LIBDIR})
    if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
        set(hakuban_install_libdir "\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}")
    endif()
    configure_file(cmake/loader.cmake.in ${PROJECT_BINARY_DIR}/generated/loader.cmake @ONLY)
    install(SCRIPT ${PROJECT_BINARY_DIR}/generated/loader.cmake COMPONENT runtime)
endif()
if(hakuban_alone)
    configure_file(cmake/uninstall.cmake.in ${PROJECT_BINARY_DIR}/generated/uninstall.cmake @ONLY)
    add_custom_target(uninstall
        COMMAND ${CMAKE_COMMAND} -P ${PROJECT_BINARY_DIR}/generated/uninstall.cmake)
endif()
