"""Write the rows of any Arrow table: their JSON, their index, their credentials and outcomes."""
