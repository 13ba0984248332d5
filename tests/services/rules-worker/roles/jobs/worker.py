print("at work")
