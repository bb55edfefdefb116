# Turns a text file into a C++ source that holds it: cmake -DINPUT=... -DOUTPUT=... -DSYMBOL=ns::Name -P embed.cmake
# As bytes, not as a raw literal: compilers cap the length of those.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${INPUT}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  file(WRITE "${OUTPUT}" "extern const char ${SYMBOL}[];\nextern const unsigned long ${SYMBOL}_size;\n"
    "const char ${SYMBOL}[] = {${bytes}'\\0'};\nconst unsigned long ${SYMBOL}_size = sizeof(${SYMBOL}) - 1;\n")
  return()
endif()

# ferment_embed(<target> <symbol> <file>): adds the file to the target as `extern const char <symbol>[]` and `<symbol>_size`.
function(ferment_embed target symbol file)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cc")
  get_filename_component(input "${file}" ABSOLUTE)
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DINPUT=${input}" "-DOUTPUT=${output}" "-DSYMBOL=${symbol}" -P "${CMAKE_SOURCE_DIR}/cmake/embed.cmake"
    DEPENDS "${input}" "${CMAKE_SOURCE_DIR}/cmake/embed.cmake" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
