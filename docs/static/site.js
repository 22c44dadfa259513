// A page opened as a file may not read its neighbours: there the search lists titles without extracts.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";
