# `cpack -G DEB` makes libhakuban0, libhakuban-dev, hakuban-router, hakuban-tools. The build must be configured for the prefix /usr,
# as the preset package is: the unit and the directories of libraries name it.

set(CPACK_PACKAGE_NAME hakuban)
set(CPACK_PACKAGE_VENDOR hakuban)
set(CPACK_PACKAGE_CONTACT "Hakuban maintainers <maintainers@hakuban.invalid>")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # /etc is not below the prefix
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL development)
if(BUILD_SHARED_LIBS)
    list(APPEND CPACK_COMPONENTS_ALL runtime)
endif()
if(HAKUBAN_BUILD_TOOLS)
    list(APPEND CPACK_COMPONENTS_ALL router tools)
endif()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/lib)
set(hakuban_deb_version "${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")
set(hakuban_deb_runtime "")
if(BUILD_SHARED_LIBS)
    set(hakuban_deb_runtime "libhakuban${PROJECT_VERSION_MAJOR} (= ${hakuban_deb_version})")
endif()
set(hakuban_deb_words "Some programs expose the current state of data objects, others observe them.
Every observer converges to the latest state of what it observes; only the
difference to what it already has travels.")

function(hakuban_deb component package section summary)
    string(TOUPPER ${component} COMPONENT)
    set(CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME ${package} PARENT_SCOPE)
    set(CPACK_DEBIAN_${COMPONENT}_PACKAGE_SECTION ${section} PARENT_SCOPE)
    # The first line is the summary.
    set(CPACK_DEBIAN_${COMPONENT}_DESCRIPTION "${summary}\n${hakuban_deb_words}" PARENT_SCOPE)
    if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
        return() # share/doc/<package> is a place of Debian's
    endif()
    install(FILES packaging/copyright DESTINATION share/doc/${package} COMPONENT ${component})
    install(FILES packaging/changelog DESTINATION share/doc/${package} COMPONENT ${component}
        RENAME changelog.Debian)
endfunction()

hakuban_deb(runtime libhakuban${PROJECT_VERSION_MAJOR} libs
    "latest state of data objects, shared between programs")
hakuban_deb(development libhakuban-dev libdevel
    "latest state of data objects, shared between programs (headers)")
hakuban_deb(router hakuban-router net
    "latest state of data objects, shared between programs (router)")
hakuban_deb(tools hakuban-tools net
    "latest state of data objects, shared between programs (command line)")

# Written here because CPack makes such a file for every package or for none.
file(WRITE ${PROJECT_BINARY_DIR}/generated/shlibs
    "libhakuban ${PROJECT_VERSION_MAJOR} libhakuban${PROJECT_VERSION_MAJOR} (>= ${PROJECT_VERSION})\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
    ${PROJECT_BINARY_DIR}/generated/shlibs ${PROJECT_SOURCE_DIR}/packaging/triggers)

string(REPLACE ";" ", " hakuban_deb_depends "${hakuban_deb_runtime};${hakuban_dev_packages}")
string(REGEX REPLACE "^, " "" CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${hakuban_deb_depends}")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_ROUTER_PACKAGE_DEPENDS "${hakuban_deb_runtime}")
set(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS "${hakuban_deb_runtime}")
set(CPACK_DEBIAN_ROUTER_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/packaging/conffiles ${PROJECT_SOURCE_DIR}/packaging/postinst
    ${PROJECT_SOURCE_DIR}/packaging/prerm ${PROJECT_SOURCE_DIR}/packaging/postrm)

set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/generated/check-prefix.cmake)
file(WRITE ${CPACK_PROJECT_CONFIG_FILE} "set(hakuban_prefix \"${CMAKE_INSTALL_PREFIX}\")
if(CPACK_GENERATOR STREQUAL DEB AND NOT hakuban_prefix STREQUAL /usr)
    message(FATAL_ERROR \"This build is for \${hakuban_prefix}; Debian packages need one for /usr. Configure \"
        \"with -DCMAKE_INSTALL_PREFIX=/usr, or with the preset package\")
endif()
")
# Compresses manuals and changelogs, which Debian requires.
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/packaging/stage.cmake)
include(CPack)
