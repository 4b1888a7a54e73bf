"""What the panel's page is made of; plain ES modules, nothing is built."""
