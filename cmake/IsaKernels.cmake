# ncfast_add_level(<identifier> [flags...]): the kernels compiled once more, for one instruction-set level.
# The renames keep the linker from merging template instances of different levels (see kernels/isa.hpp).
function(ncfast_add_level identifier)
  set(target "ncfast_kernels_${identifier}")
  add_library(${target} OBJECT
    cpp/kernels/class_sums.cpp cpp/kernels/decide.cpp cpp/kernels/frames.cpp cpp/kernels/gram.cpp
    cpp/kernels/pairs.cpp cpp/kernels/products.cpp cpp/kernels/products_tiles.cpp cpp/kernels/project.cpp
    cpp/kernels/scatter.cpp cpp/kernels/screen.cpp cpp/kernels/table.cpp
    cpp/kernels/ufm_chain.cpp cpp/kernels/ufm_columns.cpp cpp/kernels/ufm_levels.cpp)
  target_compile_definitions(${target} PRIVATE NCFAST_ISA=${identifier} Eigen=Eigen_${identifier})
  target_compile_options(${target} PRIVATE ${ARGN})
  target_include_directories(${target} PRIVATE cpp)
  target_include_directories(${target} SYSTEM PRIVATE "${NCFAST_EIGEN_INCLUDE_DIR}")
  target_link_libraries(${target} PRIVATE ncfast_options)
  target_sources(_core PRIVATE $<TARGET_OBJECTS:${target}>)
  set_property(GLOBAL APPEND_STRING PROPERTY NCFAST_LEVEL_MACRO " X(${identifier})")
  set_property(GLOBAL APPEND PROPERTY NCFAST_LEVEL_OBJECTS --level ${identifier} $<TARGET_OBJECTS:${target}>)
endfunction()

# Every build proves that no level can take another's code.
function(ncfast_check_isolation)
  find_program(NCFAST_NM nm)
  if(NOT NCFAST_NM)
    return()
  endif()
  get_property(objects GLOBAL PROPERTY NCFAST_LEVEL_OBJECTS)
  add_custom_command(TARGET _core PRE_LINK
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_SOURCE_DIR}/cmake/check_isolation.py" ${objects}
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Checking that instruction-set levels share no code")
endfunction()
