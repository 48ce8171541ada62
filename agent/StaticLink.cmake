# drover_link_statically(TARGET OWN_LIBRARY...): links a program with our libraries and everything they need from archives, so that it runs
# where only the C library is. The usual targets name shared libraries, so archives are given as files.
function(drover_link_statically target)
  set(archives)
  foreach(name grpc++ grpc gpr address_sorting upb re2 cares protobuf ssl crypto z)
    find_library(ARCHIVE_${name} lib${name}.a REQUIRED)
    list(APPEND archives ${ARCHIVE_${name}})
  endforeach()
  get_filename_component(folder ${ARCHIVE_grpc} DIRECTORY)
  file(GLOB abseil ${folder}/libabsl_*.a)
  set(own)
  foreach(library ${ARGN})
    list(APPEND own $<TARGET_FILE:${library}>)
    target_include_directories(${target} PRIVATE $<TARGET_PROPERTY:${library},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
  # A group, because gRPC and Abseil need one another back and forth.
  target_link_libraries(${target} PRIVATE
    -Wl,--start-group ${own} ${archives} ${abseil} -Wl,--end-group Threads::Threads ${CMAKE_DL_LIBS})
  target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc -Wl,--gc-sections -s)
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_BINARY_DIR}/proto)
  add_dependencies(${target} ${ARGN})
endfunction()
