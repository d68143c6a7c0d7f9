# find_package(fastreg CONFIG): gives fastreg::fastreg, which needs nothing else.
include("${CMAKE_CURRENT_LIST_DIR}/fastregTargets.cmake")
