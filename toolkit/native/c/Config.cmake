# find_package(@SYMBOL@ CONFIG) defines the imported target @SYMBOL@::engine.
@CMAKE_FILES@
set(_@SYMBOL@_machine "${CMAKE_SYSTEM_PROCESSOR}")
if(_@SYMBOL@_machine STREQUAL "AMD64")
  set(_@SYMBOL@_machine "x86_64")
endif()
set(_@SYMBOL@_file "${_@SYMBOL@_${_@SYMBOL@_machine}}")
if(_@SYMBOL@_file STREQUAL "")
  set(@SYMBOL@_FOUND FALSE)
  set(@SYMBOL@_NOT_FOUND_MESSAGE "it was built for @TARGET@, not for ${CMAKE_SYSTEM_PROCESSOR}")
elseif(NOT TARGET @SYMBOL@::engine)
  add_library(@SYMBOL@::engine SHARED IMPORTED)
  set_target_properties(
    @SYMBOL@::engine
    PROPERTIES IMPORTED_LOCATION "${CMAKE_CURRENT_LIST_DIR}/${_@SYMBOL@_file}"
               IMPORTED_SONAME "${_@SYMBOL@_file}"
               INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}")
endif()
