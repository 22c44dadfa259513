"""Reports: the lessons executed with chosen parameters, as notebooks and as HTML that needs no network."""
