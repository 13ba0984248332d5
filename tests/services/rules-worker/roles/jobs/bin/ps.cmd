rem example
