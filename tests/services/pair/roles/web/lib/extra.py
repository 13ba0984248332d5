WORD = "from lib"
