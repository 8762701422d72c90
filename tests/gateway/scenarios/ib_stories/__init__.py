"""Stories of a client library under the shipped scenarios; they know no gateway but through a port and questions."""
